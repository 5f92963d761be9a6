"""The explorer: a page on which to look inside a vision-language model, and the page it saves.

What the page shows:
    view              the state of the page, as query parameters of a link
    choices           what can be chosen, with the words that a user reads
    ablation          the interventions that the page offers, any set of them at once
    start             where the view starts
    first_view        the first view, computed beforehand
    panes             the one or two results side by side

What it computes with:
    input_image       the image that models look at: an example scene, or one from outside
    offered_models    the models that may be loaded, and what people may see of their names
    model_spec        a model and how it is loaded
    lens_cache        loaded models and their results, bounded
    memory            bytes of models, and the room for them

What comes from outside:
    allowed_hosts, visitors   who may use a page
    uploads, image_store      bounds on files and images
    own_image                 the user's own image

What is sent to the browser:
    search_payload    a searched word, as a heat map and as a sentence
    encoded_payload   JSON and its identity
    component         the view (`llavit_lens.viewer`) as a Streamlit component
    static/           what JavaScript Streamlit's components add to it

What Streamlit runs and shows:
    page              the script, without PyTorch
    page_content      all that needs a model
    session           what the page remembers, its link, and what happens when a user does something
    style             how the parts are arranged, in each mode
    guide             the page's name and its help
    presets, effect   experiments of one click, and what they changed in one line
    sidebar, ablation_switches, answers, trajectories, download_buttons
    waiting           progress while a model is loaded
    downloads         the files that a user can save
    wording           text that Markdown leaves as it is
"""
