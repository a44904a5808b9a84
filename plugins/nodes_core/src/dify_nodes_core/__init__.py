"""The nodes every graph needs: start, end, answer, if-else, template-transform, aggregator, assigner, list-operator."""
