"""A reproducible companion to the lecture *Attention in Computer Vision*."""
