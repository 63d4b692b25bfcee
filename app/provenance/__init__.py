"""Where a video came from: a mark in its pictures, signed credentials in its file, a log of
what was made, and the verdict on a video that somebody shows.
"""
