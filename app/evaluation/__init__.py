"""Comparing what was made with what really happened: pairs of videos or motion files to one table,
with floors, ceilings and intervals. It makes no video and judges by app.quality alone.
"""
