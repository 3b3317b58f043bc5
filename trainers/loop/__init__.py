"""What the training loop calls in each step or epoch: the learning rate, the evaluation, the workers of one trial, and
DHKD's alignment of gradients.
"""
