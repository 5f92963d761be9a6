"""The view of words on an image: what the explorer, a notebook and a saved page show alike.

From results to a view:
    show        `Words.show` and `ll.show`
    viewer      the view as an object: in a notebook, in a file
    panes       which results stand side by side
    reading     what one pane shows
    difference  where two of them disagree
    start       where a view starts
    labelled    images of which the truth is known

What the browser gets:
    payload     words as small integers, for JSON
    image_url   an image as part of a page
    wording     patches in words
    page        the view as a page of one file, without a server or a network
    frame       that page as part of another one
    widget      the view as a widget of a running notebook
    static/     its JavaScript and CSS
"""
