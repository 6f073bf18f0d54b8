"""The page of `agconv demo`: draw or upload an image, rotate it, and see what networks attend to.

input_images   drawings, uploads and examples as pixels
network_view   prediction, maps and equivariance error of a network for an image at an angle
html_panels    HTML of these
server         the page, with gradio
http_rules     check of the Host header, and content security policy
"""
