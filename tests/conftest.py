from hypothesis import settings

settings.register_profile("headrace", deadline=None)  # the time of one example is the machine's
settings.load_profile("headrace")
