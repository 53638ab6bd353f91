"""What stands in the sections of a page in HTML."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """Collects the text of each section, the names of elements, and where anything leads."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.names, self.addresses, self.name = {"": ""}, [], [], ""
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.names.append(tag)
        self.addresses += [known[key] for key in ("src", "href") if key in known]
        if tag == "section":
            self.name = known["id"]
            self.sections[self.name] = ""
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.sections[self.name] += f"{data} "


def read_sections(path):
    """Return the text of each section of a page by its name; what stands above them by none."""
    return Reader(path.read_text(encoding="utf-8")).sections
