"""Asking people which of two videos is better: a page to rate on, balanced and blinded, and what
the answers come to. It serves nothing: the page is a folder of files.
"""
