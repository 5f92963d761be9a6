"""The view of words on an image: what the explorer, a notebook and a saved page show alike.

payload     words as small integers, for JSON
reading     what one pane shows
image_url   an image as part of a page
page        the view as a page of one file, without a server or a network
wording     patches in words
static/     the view's JavaScript and CSS
"""
