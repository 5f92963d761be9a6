"""The explorer: a page on which to look inside a vision-language model, and the page it saves.

view          what the page shows, as query parameters of a link
choices       all that can be chosen, with the words that a user reads
state         what the page remembers between two runs of its script
opening       where the view starts if nobody says
first_view    the first view, read beforehand
pictures      the picture: an example scene, or one from outside
shelf         the images that visitors brought, as long as there is room for them
uploads, visitors, hosts
              what a page takes from outside: files that wait for it, people, names of this machine
memory        bytes of models, and the room for them
bench         loaded models and what they read, cached and bounded
ablation      the interventions that the page offers, any set of them at once
sides         the one or two readings that stand side by side
waiting       what a person sees while a model is loaded
payload       words as the small JSON that the view in the browser draws
search        a searched word, in words and as a map
places, plain where a patch lies, in words; text that Markdown leaves as it is
trajectories  chosen words of one patch through the layers (plotly)
downloads     figures, tables, and a page that needs no server
explore       from a view to what the page shows of it
component, panels, sidebar, switches, page   what Streamlit shows
static/       the view itself: JavaScript and CSS, the same in the app and in the saved page
"""
