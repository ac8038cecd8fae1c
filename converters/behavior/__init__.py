"""What the animal did and what was done to it: wheels, stimuli, trials, pose, pupil, video."""
