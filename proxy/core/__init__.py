"""DECIDE: pure functions and frozen values; time and chance are arguments.

Standard library only. Nothing here waits, reads a clock, rolls a die, opens a file or a socket.
"""
