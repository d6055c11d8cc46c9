"""The room of the article: what does Özdemir and Battini Sönmez (2020) print?

CSV files with Tables I and II as printed, and `tables`, which reads them. Nothing is corrected and nothing is computed:
what cannot be true in them is the question of `cxrlib.analysis.audit`.
"""
