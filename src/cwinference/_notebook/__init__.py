"""What `%load_ext cwinference` adds to IPython and notebooks: protobuf messages of the API as tables and short texts.

The library's own classes, such as `Plan`, are shown as tables without it: they are `Displayed`.
"""
