"""People who are asked by runs: their forms, links to them, answers, and what happens when nobody answers."""
