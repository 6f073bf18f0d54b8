"""The page of `agconv demo`: draw or upload an image, rotate it, and see what networks attend to.

images   what is drawn and uploaded, as pixels
view      what a network makes of an image at an angle
panels     HTML of it
page       the page, with gradio
"""
