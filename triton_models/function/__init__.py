"""Which call does a conversation ask for, and with which arguments?"""
