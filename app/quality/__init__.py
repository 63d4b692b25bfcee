"""How good a motion or a video is: figures with their sources, their floors and their intervals, as
functions of arrays. Nothing here reads a file that a user names, or makes a video.
"""
