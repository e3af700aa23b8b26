"What tests of the panel share."


class SilentWorker:
    "Notes the questions and answers none"

    def __init__(self):
        self.questions, self.waiting = [], {}

    def ask(self, what, callback, **question):
        self.questions.append((what, question, callback))

    def close(self):
        pass
