"""One clock: pulses read, clocks aligned by them, and how well that went."""
