"""The paper's Figures 1, 3, 4, 5 and 6, from any models and images.

definitions   what each figure shows
images        the images, with their truth or the words that the user calls relevant
patch_choice  which patches are drawn where none are named
lens_words    what a model reads off an image, by the lens
word_choice   which words of the top 3 are drawn where the authors picked them by hand
contents      all that a figure draws: images, patches, words
lists         Figures 1 and 3: two images side by side, two words for each patch
cards         Figures 4 to 6: a card for each patch, its top 3 with their values
caption       how to read a figure, and by which rules it was made
data          a figure as plain values, for its JSON file
report        reads, draws and writes a figure
options       the command line of the scripts
"""
