"""Models that keep apart what modalities share and what is each one's own, by losses of their own.

``misa`` has private and shared subspaces, ``mmim`` bounds of what vectors tell of each other;
``subspace_settings`` has the settings.
"""
