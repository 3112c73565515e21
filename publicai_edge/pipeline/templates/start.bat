@echo off
rem Starts this kiosk. Uses the program in data\runtime\ when the bundle carries one, else an installed publicai-edge.
setlocal
set "HERE=%~dp0."
set "OWN=%HERE%\data\runtime\windows-x86_64\publicai-edge.exe"
if exist "%OWN%" (
  "%OWN%" serve "%HERE%" --open %*
  exit /b %ERRORLEVEL%
)
where publicai-edge >nul 2>nul
if not errorlevel 1 (
  publicai-edge serve "%HERE%" --open %*
  exit /b %ERRORLEVEL%
)
py -3 -c "import publicai_edge" >nul 2>nul
if not errorlevel 1 (
  py -3 -m publicai_edge serve "%HERE%" --open %*
  exit /b %ERRORLEVEL%
)
echo This bundle carries no program for Windows, and publicai-edge is not installed on this machine.
echo Ask whoever gave you this bundle for the publicai-edge wheel, and install it once, with Python 3.11 or newer:
echo     py -3 -m pip install ".\publicai_edge-VERSION-py3-none-any.whl[kiosk]"
echo then run this script again.
pause
exit /b 6
