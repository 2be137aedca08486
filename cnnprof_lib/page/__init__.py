"""How things look, knowing no run: styles, tables, hover texts, HTML and PDF."""
