"""Answers that people wrote for questions that come again, and how a chat finds them."""
