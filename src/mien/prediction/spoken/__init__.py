"""What is said, brought into pieces that a model reads.

``transcripts`` reads text and subtitles, ``utterances`` cuts a recording, ``text_parts`` long
texts, ``text_input`` encodes one, and ``language`` warns of texts that the model cannot read.
"""
