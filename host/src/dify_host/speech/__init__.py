"""Speech of apps: what users say becomes text, and answers are read out."""
