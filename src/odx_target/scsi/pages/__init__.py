"""Mode pages, log pages and vital product data pages: their layouts and the functions that build them."""
