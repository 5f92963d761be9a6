"""Look inside a vision-language model: streamlit run apps/explorer.py

What follows `--` is for the page: `streamlit run apps/explorer.py -- --public --model owner/name`.
The server listens on this machine only and sends no statistics: see .streamlit/config.toml beside
this file, which Streamlit uses wherever the page is started from.
"""

import sys

from llavit_lens.explorer.page import main

main(sys.argv[1:])
