"""What is handed out.

site/        the notebooks as pages (build.py: all of it; page.py: one), and try.html
classroom/   copies for a class (copies.py), and grades (grade.py; student.py: the process that runs a student's code)
app/         the explorers without code
report.py    notebook 07 on runs of one's own, as one page
commands.py  the verbs of these
"""
