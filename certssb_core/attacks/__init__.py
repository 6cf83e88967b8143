"""The attacker's code.

Clean-label poisons, and gradient attacks on test inputs and training images.
"""
