"""The explorer: a page on which to look inside a vision-language model, and the page it saves.

view          what the page shows, as query parameters of a link
pictures      the picture: an example scene, or one from outside
bench         loaded models and what they read, cached and bounded
ablation      the interventions that the page offers, any set of them at once
sides         the one or two readings that stand side by side
waiting       what a person sees while a model is loaded
payload       words as the small JSON that the view in the browser draws
search        a searched word, in words and as a map
trajectories  chosen words of one patch through the layers (plotly)
downloads     figures, tables, and a page that needs no server
component, panels, switches, page   what Streamlit shows
static/       the view itself: JavaScript and CSS, the same in the app and in the saved page
"""
