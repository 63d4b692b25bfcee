"""What people are asked of a pair of videos: ten dimensions, after the pairwise protocol of
Seamless Interaction (arXiv 2506.22554, evaluation), in words of our own.
"""

DIMENSIONS: dict[str, str] = {
    "lifelikeness": "Which person looks more alive?",
    "clarity": "In which is it clearer what the person means or feels?",
    "turn-taking": "In which does the person take and give turns more naturally?",
    "listening": "In which does the person listen better while the other one speaks?",
    "speaking": "In which does the person speak more naturally?",
    "lip sync": "In which do the lips go better with the voice?",
    "head": "In which does the head move more naturally?",
    "eyes": "In which do the eyes look and blink more naturally?",
    "picture": "Which picture is better (sharp, steady, without faults)?",
    "overall": "Which video do you prefer?",
}
ANSWERS = ("left", "right", "equal")
