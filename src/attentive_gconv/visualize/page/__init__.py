"""The page of `agconv demo`: draw or upload a picture, turn it, and see what networks attend to.

pictures   what is drawn and uploaded, as pixels
sight      what a network makes of a picture at an angle
panels     HTML of it
page       the page, with gradio
"""
