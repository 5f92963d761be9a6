"""The source of tutorial.ipynb: `python docs/notebooks/build.py` runs it, and stores the outputs.

`# %%` begins a cell of code, `# %% [markdown]` one of text.
"""
# ruff: noqa: B018

# %% [markdown]
# # What does a vision-language model see, patch by patch?
#
# A vision-language model cuts an image into patches. Each patch becomes one **visual token**, and
# the language model reads these tokens like words. **llavit-lens** says, in words, what the model
# makes of every patch at every layer, and lets you change what the model does with them.
#
# This notebook takes a minute on a laptop, without a GPU and without a network. Its model is a
# miniature: it knows drawn scenes of emoji, and nothing of photographs. For your own model, put its
# name in place of `demo:llavit`, such as `llava-hf/llava-1.5-7b-hf`, and your own image in place of
# the example.

# %%
import llavit_lens as ll

vlm = ll.load("demo:llavit")
vlm

# %% [markdown]
# `ll.example` has small scenes with their truth. Whatever takes an image takes them.

# %%
scene = ll.example("crown-north-kite")
scene

# %%
question = "what is left of the kite ?"
vlm.generate(scene, question)

# %% [markdown]
# ## 1. Read every patch at every layer
#
# `trace` runs the model once and keeps the states of the visual tokens. The **logit lens** turns
# each state into the word that the model would say if it stopped there.

# %%
trace = vlm.trace(scene, question)
words = ll.logit_lens(trace, k=3)
words

# %% [markdown]
# The same as a table: one row for each patch, one column for each layer. Layer 0 is what the
# projector hands to the language model. Here are the patches of row 2, where the sign is.

# %%
words.by_token().xs(2, level="row")

# %% [markdown]
# One patch of the sign with all its words and their probabilities. Alone, at layer 0, it reads
# *soup*. From layer 2 on the patches around it have helped, and it reads *north*.

# %%
[words.at(layer, row=2, col=4) for layer in (0, 2, 6)]

# %% [markdown]
# `to_pandas` has all numbers, so any question about them is a line of pandas. Which words lead most
# patches at each layer?

# %%
table = words.to_pandas()
leading = table[table["rank"] == 0].groupby("layer")["word"].value_counts()
leading.unstack("layer", fill_value=0).loc[lambda counts: counts.max(axis=1) > 3]

# %% [markdown]
# Or look at it: move the mouse over the patches, click one, move through the layers, search for a
# word. (GitHub shows a still image here. Run the notebook, or open it in JupyterLab, VS Code or
# Colab.)

# %%
words.show()

# %% [markdown]
# ## 2. Which layers need to look around?
#
# In this model visual tokens attend to each other. Take that away (Eq. 5 of the paper), in the
# first two layers or in the last four, and ask again.

# %%
print("as it is:             ", vlm.generate(scene, question))
with ll.ablate_visual_attention(vlm, layers=range(0, 2)):
    print("without, layers 0-1:  ", vlm.generate(scene, question))
with ll.ablate_visual_attention(vlm, layers=range(2, 6)):
    print("without, layers 2-5:  ", vlm.generate(scene, question))

# %% [markdown]
# Here the first two layers do it: there patches learn what is beside them. One question shows
# nothing in general; [docs/results.md](../results.md) has the same measured on 200 scenes.
#
# ## 3. Where does the answer come from?
#
# **Activation patching**: the model reads another image, and one state at a time is replaced by
# that of the first image. What brings the answer *crown* back? Red patches do.

# %%
other = ll.example("sun-guitar")
crown = {"crown": scene.region("crown")}
asked = "what is at the left ?"
restored = ll.restore_map(vlm, scene, other, asked, "crown", layers=range(3), objects=crown)
restored

# %% [markdown]
# The crown's own patches bring it back before layers 0 and 1. From layer 2 on the answer lies in
# the last token, and the image is not needed any more.
#
# ## 4. How well do patches read?
#
# One scene is a story; many are a measurement. With labelled images, every measure has its chance
# level and a 95 % interval. These are the twelve example scenes; `ll.coco_images` reads COCO.

# %%
scores = ll.readability(vlm, [ll.example(name) for name in ll.examples()])
scores

# %% [markdown]
# ## 5. Keep it
#
# Results are Parquet files with a checksum. They are read back without the model, and without
# PyTorch.

# %%
words.save("words.parquet")
again = ll.Words.load("words.parquet")
again == words, again

# %% [markdown]
# Images are not saved with a result. Give the image again to draw it; a sharper copy is welcome.

# %%
again.plot(layer=2, image=scene.display)

# %% [markdown]
# **Where to go from here**
#
# - Recipes, one page for each question: [docs/recipes](../recipes/README.md).
# - The same in the browser, without code: `make explorer`, or `streamlit run apps/explorer.py`.
# - Help for every function: `help(ll.restore_map)`.
