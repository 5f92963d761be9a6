"""The paper's Figures 1, 3, 4, 5 and 6, from any models and pictures.

specs         what each figure shows
word_choice   which words of the top 3 are shown where the authors picked them by hand
patch_choice  which patches are shown where none are named
subjects      the pictures, with their truth or the words that the user calls relevant
readings      what the models read off the patches: all that is drawn, and all that is saved
lists         Figures 1 and 3: two pictures side by side, two words for each patch
cards         Figures 4 to 6: a card for each patch, its top 3 with their values
parts         what both share
notes         what stands under a figure
data          a figure as plain values
"""
