"""One folder for each analysis: what it measures, its figure and its report."""
