"""What apps looked like in older exports, and today: a small pure function a change, applied at import."""
