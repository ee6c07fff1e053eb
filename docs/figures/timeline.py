"""Draw docs/images/timeline.svg: the families of docs/history.md by the year in which they became public."""

import re
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent.parent
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
NAMES = {  # what the row of a paper holds, and how the family is called
    '"Generative Adversarial Nets"': "GAN", '"Conditional Generative Adversarial Nets"': "conditional GAN",
    "LAPGAN": "LAPGAN", "DCGAN (": "DCGAN", "Adversarial Autoencoders": "AAE", "VAE/GAN": "VAE/GAN",
    "Context Encoders": "context encoder", "Text to Image": "text to image", "BiGAN": "BiGAN, ALI", "f-GAN": "f-GAN",
    "Improved Techniques": "feature matching", "InfoGAN": "InfoGAN", "GAIL": "GAIL", "VGAN": "VGAN",
    "Energy-based Generative": "EBGAN", "SeqGAN: ": "SeqGAN", "SRGAN": "SRGAN", "Auxiliary Classifier": "AC-GAN",
    "Unrolled": "unrolled GAN", "Least Squares": "LSGAN", "pix2pix": "pix2pix", '"Wasserstein GAN"': "WGAN",
    "AnoGAN": "AnoGAN", "CycleGAN": "CycleGAN", "Improved Training of Wasserstein": "WGAN-GP", "BEGAN": "BEGAN",
    "DRAGAN": "DRAGAN", "VEEGAN": "VEEGAN", "Two Time-Scale": "two time scales, FID", "MoCoGAN": "MoCoGAN",
    "MuseGAN": "MuseGAN", "Progressive Growing": "progressive growing", '"PacGAN"': "PacGAN", "R1:": "R1",
    "Spectral Normalization for": "spectral norm", "Projection Discriminator": "projection",
    "WaveGAN": "WaveGAN", "SAGAN": "SAGAN", "relativistic": "relativistic GAN", "BigGAN": "BigGAN", "DRS": "DRS",
    "Rotation Loss": "SSGAN", "MH-GAN": "MH-GAN", "StyleGAN (": "StyleGAN", "FUNIT": "FUNIT", "StyleGAN2": "StyleGAN2",
    "DDLS": "DDLS", "ADA;": "ADA, DiffAugment", "StyleGAN3": "StyleGAN3",
}  # fmt: skip


def families():
    """Return [(year, month, name, whether an example of it is here)], in the order of publication."""
    rows = [line for line in (DOCS / "history.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    found = []
    for words, name in NAMES.items():
        row = next(row for row in rows if words in row)
        month, year = re.findall(rf"({'|'.join(MONTHS)}) (\d{{4}})", row.split("|")[1])[-1]
        found.append((int(year), MONTHS.index(month), name, "`examples/" in row.split("|")[4]))
    return sorted(found, key=lambda family: family[:2])


def draw(found):
    """Return the timeline as the text of an SVG: a column for each year, on a light card."""
    years = range(min(family[0] for family in found), max(family[0] for family in found) + 1)
    width, text = 142, []
    tallest = max(sum(family[0] == year for family in found) for year in years)
    for column, year in enumerate(years):
        x = 16 + column * width
        text.append(f'<text x="{x}" y="26" font-size="17" font-weight="bold">{year}</text>')
        for row, (_, month, name, here) in enumerate(family for family in found if family[0] == year):
            y = 50 + 21 * row
            fill = "#1b1b1b" if here else "#8a8a8a"
            text.append(f'<text x="{x}" y="{y}" font-size="10" fill="#8a8a8a">{MONTHS[month]}</text>')
            text.append(f'<text x="{x + 25}" y="{y}" font-size="12" fill="{fill}">{escape(name)}</text>')
    sides = 16 + width * len(years), 50 + 21 * tallest + 22
    text.append(f'<text x="16" y="{sides[1] - 12}" font-size="12" fill="#8a8a8a">grey: no example of it here</text>')
    card = f'<rect width="{sides[0]}" height="{sides[1]}" rx="8" fill="#fdfdfb"/>'
    size = f'width="{sides[0]}" height="{sides[1]}" viewBox="0 0 {sides[0]} {sides[1]}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif">'
    return "\n".join([head, card, *text, "</svg>\n"])


if __name__ == "__main__":
    (DOCS / "images" / "timeline.svg").write_text(draw(families()), encoding="utf-8")
