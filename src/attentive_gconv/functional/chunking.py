"""How much working memory an operation may take."""

DEFAULT_BUDGET = 64 << 20
