"""Runs the services of a plan until told to stop, over the socket or by SIGTERM, SIGINT or SIGHUP."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from controlplane.runtime.native.supervisor import event_log
from controlplane.runtime.native.supervisor.log_writer import LogWriter
from controlplane.runtime.native.supervisor.plan import SupervisorPlan
from controlplane.runtime.native.supervisor.protocol import LogReport, SupervisorReport
from controlplane.runtime.native.supervisor.restarted_process import RestartedProcess
from controlplane.runtime.native.supervisor.server import serve

# Time to read and write the last lines of the services after they have ended.
_LAST_LINES_S: Final = 2.0
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def supervise(plan: SupervisorPlan) -> None:
    """Run the plan. OSError if the socket cannot be created; then nothing was started."""

    def on_resume(log: LogReport) -> None:
        event_log.write(events, "log.resumed", log=log.name, dropped=log.dropped)

    writer = LogWriter(plan.sizes, on_resume)
    events = writer.log(plan.events)
    processes = [
        RestartedProcess(
            service, plan.directory, writer.log(service.stdout_log or service.log), writer.log(service.log), events
        )
        for service in sorted(plan.services, key=lambda service: service.order)
    ]

    def report() -> SupervisorReport:
        return SupervisorReport(services=tuple(each.report() for each in processes), logs=writer.dropped())

    def reap() -> None:
        for each in processes:
            each.reap()

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, reap)
    for number in _ENDING:
        loop.add_signal_handler(number, stopping.set)
    server = await serve(plan.socket, report, stopping.set)
    try:
        await _run(processes, stopping)
    finally:
        server.close()
        pipes = [pipe.ended for each in processes for pipe in each.pipes]
        if pipes:
            await asyncio.wait(pipes, timeout=_LAST_LINES_S)
        event_log.write(events, "supervisor.ended")
        writer.close(_LAST_LINES_S)


async def _run(processes: list[RestartedProcess], stopping: asyncio.Event) -> None:
    """Run the processes until `stopping` is set, then stop them. If one task fails, stop all and raise its error."""
    tasks = [asyncio.ensure_future(each.run()) for each in processes]
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        # First Envoy, which takes requests; then all others at once, since they are idle now.
        for edge in (True, False):
            await asyncio.gather(*(each.stop() for each in processes if each.service.edge is edge))
        stop.cancel()
    await asyncio.gather(*tasks)
