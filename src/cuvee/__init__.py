"""Light curves of every star, from images and photon lists.

The shortest real use is ``cuvee.open("my-survey").light_curve(25155310)``.
"""

__version__ = "0.1.0"
