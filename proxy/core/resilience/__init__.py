"""When and how often may a request be sent again?"""
