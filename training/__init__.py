"""How the numbers in the tree came about: whoever doubts the guard's head or the intent threshold can make them
again.
"""
