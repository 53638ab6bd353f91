"""The words of a recording or a text, brought into pieces that a model reads.

In reading order: ``transcripts`` reads text and subtitles, ``utterances`` cuts a recording,
``text_parts`` cuts a long text, ``text_input`` encodes a text, ``text_utterances`` does both for a
text without a recording, and ``language`` finds texts that a model cannot read, by what
``language_identifier`` loads.
"""
