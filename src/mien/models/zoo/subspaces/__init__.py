"""Models that keep apart what modalities share and what is each one's own, by losses of their own.

``misa`` has private and shared subspaces; ``subspace_settings`` has the settings.
"""
