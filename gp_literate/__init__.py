"Literate, tested and replicated genomic prediction: see the notebooks of the same names."
__version__ = "0.1.0"
