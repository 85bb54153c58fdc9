"""Does a text entail another?"""
