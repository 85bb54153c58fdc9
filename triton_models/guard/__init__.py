"""Is a text an attack?"""
