"""A page and an HTTP API that predict recordings and sentences, on the user's own machine.

In reading order: ``server`` runs the application ``app`` on a socket, with the settings of
``limits``. A request passes ``connection`` and ``middleware``, waits in ``request_queue``, and
brings its file through ``uploads``. ``worker`` hands it to a process of its own, whose code is
``worker_process``. ``downloads`` gives the answers in ``kept_answers`` as files. ``static`` holds
the page.
"""
