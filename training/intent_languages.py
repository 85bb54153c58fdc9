"""Commands to a voice assistant in German, French, Spanish and English, from the skills of Open Voice OS (Apache-2.0).

Only for measurements: nothing is trained on them. The English descriptions were written here, before anything was
measured with them. The skills' sentences are by volunteers, in part translated by machine. Used by
training/intent_gateways.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final

from controlplane.models.catalog import Package
from extproc.shared.filter_config import Target
from training import intent_data

PACKAGES: Final = {
    name: Package(name=f"ovos-skill-{name}", version=version, sha256=digest)
    for name, version, digest in (
        ("alerts", "0.1.28", "085feb1bbc030ad72553a1b29037a2cde6148258732f2ccff6800efea9c0e8aa"),
        ("application-launcher", "0.5.14", "f40a924f8da669d1dcd5d0f2a09f80d3c8b14202370e5680f871936aaab2bf17"),
        ("camera", "1.0.4", "2958249b630a8e6a4cd34063fce15a92a1efaef18b6665df7b5fa6e035a16af3"),
        ("date-time", "1.1.5", "40b283b0646e407174f7afbc7f38e548081f55bb83cfeff92ad5de9e962e4b0b"),
        ("holidays", "0.0.3", "775101f1a071c52b805d83e724f93d433bb14d125015ac1dc1dcc0b1455fd95b"),
        ("iss-location", "0.2.16", "8e59a0d3ac5b26a5f3723411e107d7cd6945a055769c8cb4616fc0d3ccc03bc1"),
        ("local-media", "0.2.12", "a810549b4d19ab886a9851b8d27298d43726039826ad921e67d33bb216688246"),
        ("news", "0.4.6", "62d71290cbd8fd08bd1679d0ad30a179b04f3672f3e5d93ab38b515762c01e59"),
        ("parrot", "0.1.25", "8e9a8e1ff5d8dfa7b644efa57705b9b0dd99de1af68f9a6275b8602267ca483b"),
        ("personal", "0.1.19", "34a07f30e025ee473dff570a33176cf4f53266b56ee9ed30b8fcf19c00ad449e"),
        ("randomness", "1.1.0", "8e05f8c28c8fe4764d226544ea567bba75a47e123b959f0f727868d8ee585fc0"),
        ("volume", "0.1.16", "3f9d3785da9721dad1d35d2591b4dc082a8029cb9caad0bf4792fe91ac072c8f"),
        ("weather", "1.0.6", "9ab8903a127c2bf751839461f77f88cb7f07af6b272f82d27cab401a7ebb892c"),
        ("wikipedia", "0.8.13", "72fc49521398b051fef8488c8350772227c0a43c8dc5b5a00dcd5ef07bc2fd77"),
    )
}
# Skill, file, name of the target, description.
_INTENTS: Final = tuple(
    tuple(part.strip() for part in line.split("|"))
    for line in """
alerts | missed_alerts | missed_alerts | Tell which alarms, timers and reminders the user has missed
application-launcher | launch | launch_app | Start an application on the computer
application-launcher | close | close_app | Quit a running application
camera | have_camera | check_camera | Say whether a camera is available
camera | take_picture | take_photo | Take a photo with the camera
date-time | date.future.weekend | next_weekend | Tell the date of the coming weekend
date-time | what.month.is.it | current_month | Tell which month it is
date-time | what.time.is.it | current_time | Tell the time of day
date-time | what.weekday.is.it | current_weekday | Tell which day of the week it is today
date-time | what.year.is.it | current_year | Tell which year it is
date-time | next.leap.year | leap_year | Tell when the next leap year is
holidays | days_until_holiday | days_until_holiday | Count the days until a public holiday
holidays | is_today_holiday | holiday_today | Say whether today is a public holiday
holidays | when_is_holiday | holiday_date | Tell the date of a public holiday
iss-location | where_iss | space_station_position | Tell where the International Space Station is now
local-media | open.file.browser | open_file_browser | Open the file browser
news | news | play_news | Play or read the latest news
parrot | repeat.tts | repeat_answer | Repeat what the assistant said last
parrot | start_parrot | start_parrot_mode | Start repeating everything that the user says
parrot | stop_parrot | stop_parrot_mode | Stop repeating everything that the user says
personal | WhenWereYouBorn | assistant_birthday | Tell when the assistant was created
personal | WhereWereYouBorn | assistant_birthplace | Tell where the assistant was created
personal | WhoMadeYou | assistant_maker | Tell who made the assistant
randomness | flip-a-coin | flip_coin | Flip a coin
randomness | roll-single-die | roll_die | Roll a die
randomness | pick-a-number | random_number | Choose a random number in a range
volume | volume.low | low_volume | Set a low volume
volume | volume.max | maximum_volume | Set the volume to its maximum
volume | volume.mute | mute_sound | Switch the sound off
weather | current_weather | current_weather | Tell the weather now
weather | humidity | humidity | Tell the humidity of the air
weather | is_rain | check_rain | Say whether it will rain
weather | is_wind | check_wind | Say whether it will be windy
weather | sunrise | sunrise | Tell when the sun rises
weather | sunset | sunset | Tell when the sun sets
wikipedia | wiki | search_encyclopedia | Look up an article in an encyclopedia
wikipedia | wikiroulette | random_article | Show a random article of an encyclopedia
""".strip().splitlines()
)
_SLOTS: Final = {
    "location": ("Berlin", "Paris"),
    "query": ("Einstein", "Mozart"),
    "application": ("Firefox", "Spotify"),
}
_SENTENCES: Final = 12  # of an intent, in a language


def commands() -> Mapping[str, list[tuple[str, Target]]]:
    """Returns for each language sentences with the target that they mean."""
    found: dict[str, list[tuple[str, Target]]] = {}
    for skill, file, name, description in _INTENTS:
        meant = intent_data.target(name, description)
        with intent_data.archive(f"ovos-skill-{skill}", PACKAGES[skill]) as wheel:
            english: set[str] = set()
            for language in ("en", *intent_data.LANGUAGES):
                pattern = re.compile(rf"/locale/{language}-\w\w/(\w+/)?{re.escape(file)}\.intent$", re.IGNORECASE)
                lines = {
                    line.strip()
                    for path in wheel.namelist()
                    if pattern.search(path)
                    for line in wheel.read(path).decode().splitlines()
                }
                # A sentence that was left in English is no sentence of the other language.
                lines -= english | {""}
                english |= lines if language == "en" else set()
                draw = random.Random(file + language)  # noqa: S311
                grammar = intent_data.Grammar({}, draw, _SLOTS)
                chosen = draw.sample(sorted(lines), min(_SENTENCES, len(lines)))
                texts = dict.fromkeys(grammar.sentence(line) for line in chosen)
                found.setdefault(language, []).extend((text, meant) for text in texts if len(text.split()) > 1)
    return found
